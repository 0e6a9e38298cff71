"""The command line `llama-async`, of the extra `llama-async[cli]`. Uses the public client; nothing uses it."""
