package wsconn

// UserTimeout is the TCP_USER_TIMEOUT that goes with a write timeout.
var UserTimeout = userTimeout
