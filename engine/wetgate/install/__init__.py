"""Put host adapters where the hosts look for them, and take them away again."""
