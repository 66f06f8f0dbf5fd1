"""OpenProject's API v3: the only package that speaks HTTP. It decides nothing and stores nothing."""
