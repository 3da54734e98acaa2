"""The manual pages, made of the commands, options and errors as they are declared."""
