"""What is looked for in our own text; what stays is accepted with a reason."""
