"""The documents (文书) of a case: what stands in each letter, and its typesetting as PDF.

``letters.py`` says what a letter contains; ``templates/`` how it looks. Data reaches a template as
JSON in ``sys_inputs`` and never as source, so nothing a person typed can become markup.
"""
