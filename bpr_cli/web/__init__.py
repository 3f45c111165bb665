"""The page that refines a mask in a browser, without a server."""
