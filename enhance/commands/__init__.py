"""What people start: each module is a command of the wheel, and a script of the checkout starts it."""
