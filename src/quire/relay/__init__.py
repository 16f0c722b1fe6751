"""The relay: a service that keeps sealed records and reads them back in order. It holds no key and knows nobody."""
