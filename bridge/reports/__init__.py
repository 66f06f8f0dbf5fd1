"""What the ledger says, as figures that a reader can check and in the forms that people ask for. Reads only."""
