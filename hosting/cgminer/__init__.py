"""The CGMiner API on TCP: protocol, client, dialects of the makes, and a simulator. Without Django."""
