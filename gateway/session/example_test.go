package session_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

func Example() {
	sessions, err := session.New(session.Config{Concurrency: 32, MaxSent: 4096})
	if err != nil {
		fmt.Println(err)
		return
	}
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"sessionId":"5a0f"}`)
	})

	// Alice, whose credential somebody has judged, asks for an id.
	alice := &access.Identity{Mode: access.APIKey, ID: "alice"}
	ask := httptest.NewRequest("POST", "/session", strings.NewReader(`{"clientType":"Websocket"}`))
	ask.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	if err := sessions.Create(answer, ask, alice, upstream); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.Body)

	// A browser cannot show a credential with a WebSocket: the id is enough, once.
	use := httptest.NewRequest("GET", "/notarize?sessionId=5a0f", nil)
	connection, err := sessions.Begin(use, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	connection.Upgraded() // the upstream has answered 101
	_, err = sessions.Begin(use, nil, nil)
	fmt.Println(err)
	connection.End()

	// Output:
	// {"sessionId":"5a0f"}
	// session id (sha256 3e93c2d7...) does not exist, or is used, in use or expired
}
