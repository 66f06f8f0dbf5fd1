"""The command line, one file a command group. Commands import what they need themselves: ``--help`` must be quick."""
