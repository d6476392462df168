"""What a person asks for: the spec, the commands, the demo."""
