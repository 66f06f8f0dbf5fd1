"""The reports, each one function from a ``Desk`` to a ``Report``. ``catalog`` lists them."""
