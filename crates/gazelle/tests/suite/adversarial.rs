//! Bad peers: an error, never a panic or a hang; the server serves the next client.
