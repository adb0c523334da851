package fetch

import (
	"net"
	"net/url"
)

// Private tells whether nobody on the way can read or change what is
// exchanged with the host of u: the scheme is https or, for development, http
// and the host is this machine by a loopback address.
func Private(u *url.URL) bool {
	return u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
