package gateway

import (
	"net/http"
	"time"
)

// Who has shown no good token yet holds a connection no longer than this. The
// answer's bound is longer than any fetch of keys that a verifier waits for.
const (
	strangerRead  = 10 * time.Second // for the body, which net/http reads on after a refusal
	strangerWrite = 30 * time.Second // from the request's header to the answer's end
)

// holdBriefly bounds the time of a request until welcome lifts the bounds. A
// refusal comes without waiting for a body, and the connection ends with it.
//
// HTTP/2 needs none of this: there a refusal resets the stream, and the server
// bounds the connection.
func holdBriefly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			rc := http.NewResponseController(w) // its errors are of writers that have no connection
			_ = rc.SetWriteDeadline(time.Now().Add(strangerWrite))
			// Without a body net/http reads ahead to learn whether the client
			// has gone, and would take the deadline for that.
			if r.ContentLength != 0 {
				_ = rc.SetReadDeadline(time.Now().Add(strangerRead))
				w.Header().Set("Connection", "close")
			}
		}
		next.ServeHTTP(w, r)
	})
}

// welcome runs behind the authorization: bodies and answers may now take their time.
func welcome(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			rc := http.NewResponseController(w)
			_ = rc.SetWriteDeadline(time.Time{})
			if r.ContentLength != 0 {
				_ = rc.SetReadDeadline(time.Time{})
				w.Header().Del("Connection")
			}
		}
		next.ServeHTTP(w, r)
	})
}
