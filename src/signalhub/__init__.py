"""SignalHub: trading signals as raw text in, mock-broker orders and a live event log out."""
