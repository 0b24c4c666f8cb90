"""What people do with repositories beyond what the SDKs have methods for."""
