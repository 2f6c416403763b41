"""A vhost beside the city's, where bureaus try their programs on synthetic people.

The same exchanges, archives, queues, users and limits as in the city, made by the same code; what a
bureau says is judged by the same door. Nothing else is there: no service, no database, no person.
"""
