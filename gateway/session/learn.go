package session

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/go-json-experiment/json/jsontext"
)

// learner passes an answer on as it is, and learns the id that a good one has. It holds
// the body back until it has ended, so that the id is known before
// the client can use it; an answer that is too long for one that has an id streams on.
type learner struct {
	http.ResponseWriter
	learn func(id string) error

	status int // of the answer; 0: not yet
	held   []byte
	long   bool // more came than could be held
}

// Unwrap serves http.ResponseController.
func (l *learner) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *learner) WriteHeader(status int) {
	if l.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) { // the others come before the answer
		l.status = status
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *learner) Write(b []byte) (int, error) {
	if l.status == 0 {
		l.WriteHeader(http.StatusOK)
	}
	switch {
	case l.status != http.StatusOK || l.long:
		return l.ResponseWriter.Write(b)
	case len(l.held)+len(b) <= maxBody:
		l.held = append(l.held, b...)
		return len(b), nil
	}
	l.long = true
	if _, err := l.ResponseWriter.Write(l.held); err != nil {
		return 0, err
	}
	l.held = nil
	return l.ResponseWriter.Write(b)
}

// finish learns the id and then lets the body go. The error says why nothing was learned from
// an answer that should have an id.
func (l *learner) finish() error {
	if l.status != 0 && l.status != http.StatusOK {
		return nil
	}
	err := l.read()
	if len(l.held) > 0 {
		// Who has gone does not read it; the id then waits until it expires.
		_, _ = l.ResponseWriter.Write(l.held)
	}
	return err
}

func (l *learner) read() error {
	switch {
	case l.long:
		return fmt.Errorf("the upstream's answer has more than %d bytes", maxBody)
	case !isJSON(l.Header()):
		return errors.New("the upstream's answer is not JSON, or it is compressed")
	}
	id, err := parseAnswer(l.held)
	if err != nil {
		return fmt.Errorf("the upstream's answer: %w", err)
	}
	return l.learn(id)
}

// parseAnswer finds the id in {"sessionId": "..."}. Other members are the client's.
func parseAnswer(text []byte) (id string, err error) {
	err = jose.EachMember(text, func(name []byte, value jsontext.Value) (err error) {
		if string(name) == "sessionId" {
			if id, err = jose.StringValue(name, value); err == nil && !isID(id) {
				err = fmt.Errorf("sessionId has %d bytes, want 1 to %d, and visible ASCII", len(id), maxID)
			}
		}
		return err
	})
	if err == nil && id == "" {
		err = errors.New("sessionId is missing")
	}
	return id, err
}
