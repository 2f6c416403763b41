"""What an attacker from within may try, and what finds or stops it."""
