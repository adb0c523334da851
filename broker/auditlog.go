package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// recordWithin is how long a record waits for those before it. A pipe whose reader has stalled takes for ever.
const recordWithin = 5 * time.Second

var errStalled = errors.New("audit: the writer did not take the record in time")

// AuditLog is an Auditor that writes JSON lines, each with one Write.
type AuditLog struct {
	turn chan struct{} // has room for the one that writes
	w    io.Writer
	line []byte
	torn bool // the newest line is incomplete
}

// NewAuditLog returns an audit that writes to w.
func NewAuditLog(w io.Writer) *AuditLog { return &AuditLog{turn: make(chan struct{}, 1), w: w} }

// Record implements Auditor. Who waits for its turn gives up after five
// seconds, or with ctx. Who has it waits as long as the writer takes: where
// that stalls, one exchange hangs and all others are refused.
func (l *AuditLog) Record(ctx context.Context, e *Event) error {
	event, err := json.Marshal(e, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := l.take(ctx); err != nil {
		return err
	}
	defer func() { <-l.turn }()
	return l.write(event)
}

// take waits for the turn to write.
func (l *AuditLog) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	default: // somebody writes
	}
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errStalled
	}
}

// write is called by whoever has the turn.
func (l *AuditLog) write(event []byte) error {
	l.line = l.line[:0]
	if l.torn {
		l.line = append(l.line, '\n') // so that a torn line spoils no other
	}
	l.line = append(append(l.line, event...), '\n')
	n, err := l.w.Write(l.line)
	if err == nil && n < len(l.line) {
		err = io.ErrShortWrite
	}
	l.torn = err != nil && (n > 0 || l.torn)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}
