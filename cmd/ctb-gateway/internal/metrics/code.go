package metrics

import (
	"net/http"
	"strconv"
)

// codes are the values of the label code for the statuses that have a name.
var codes = func() (codes [600]string) {
	for status := range codes {
		switch {
		case status < 100:
			codes[status] = otherCode
		case http.StatusText(status) != "" || status == clientGone:
			codes[status] = strconv.Itoa(status)
		default:
			codes[status] = strconv.Itoa(status/100) + "xx"
		}
	}
	return codes
}()

const (
	otherCode  = "other"
	clientGone = 499 // nobody was there any more to answer to; nginx's number for it
)

// code bounds the label code, for an upstream may answer with any number: one
// that has no name counts with its class.
func code(status int) string {
	if status < 0 || status >= len(codes) {
		return otherCode
	}
	return codes[status]
}
