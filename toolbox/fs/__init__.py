"""Files: listing, transfer, search, watch and archives."""
