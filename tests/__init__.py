"""The tests. A package, because pyopenproject installs one of the same name, which would be found in its place."""
