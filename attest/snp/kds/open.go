package kds

import (
	"fmt"
	"net/http"
)

// Open returns the client for a place: "amd", or a base URL, https (or http to a loopback address). It asks nobody yet. A nil
// HTTP client trusts the system's roots.
func Open(where string, client *http.Client) (*Client, error) {
	c := &Client{BaseURL: where, HTTP: client}
	switch where {
	case "":
		return nil, fmt.Errorf(`key distribution service: got none, want "amd" or a base URL`)
	case "amd":
		c.BaseURL = ""
	}
	_, err := parseBase(c.BaseURL)
	if err != nil {
		return nil, err
	}
	return c, nil
}
