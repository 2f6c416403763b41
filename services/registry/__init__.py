"""Registry: who there is, and in whose hands.

Owns divisions, staff with their posts and sign-in accounts, households, people, categories, phones
and accounts, who is responsible for whom, life events and roster imports. Alone signs actor tokens.

Publishes divisions, staff, people, households, accounts and phones (sealed), deaths, and the
benefits that came with a roster. Hears of deaths from public security, of entitlements granted and
ended (who is a beneficiary), and whether an import was locked (then it stands) or is released (then
it may be undone).
"""
