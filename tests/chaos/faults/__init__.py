"""What is hurt, by subject: each module holds the rows of one, ``matrix`` names them all."""
