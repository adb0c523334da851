package gateway

import (
	"encoding/json"
	"net/http"
)

// statusClientGone is logged, never sent: the client closed the connection first.
const statusClientGone = 499

// writeError writes the gateway's own refusals. Nothing of the inside is in them.
func writeError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{ // an error here means that the client has gone
		"error": code, "error_description": description,
	})
}
