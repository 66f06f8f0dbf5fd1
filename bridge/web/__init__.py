"""The dashboard, the probes and the webhook. Reads the ledger; what it may change goes through ``site.Actions``."""
