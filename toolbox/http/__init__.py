"""Transport: everything that knows aiohttp and nothing about files, processes or git."""
