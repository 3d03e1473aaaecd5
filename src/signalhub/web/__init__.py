"""HTTP and WebSocket: thin controllers that read a request, call one service and render its answer."""
