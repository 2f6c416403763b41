"""Thousands of histories at once: real handlers, real SQL, everything else played by dice.

A *world* is one household's life. What its events meet on their way is a *history*: 30 steps, in
each of which something is delivered, and dies, repeats, is lost or overtakes on the way. All
worlds take their steps together, so that a step of ten thousand histories is a few set-based
transactions of the real services, as in production, and not ten thousand.

``lives``    what happens in a world, and what the tables must say in the end
``pipes``    outbox, broker and inbox: the real SQL of the first and the last, a broker that does
             its worst between them
``history``  the dice, the steps, the faults
"""
