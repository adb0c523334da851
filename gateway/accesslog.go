package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
)

// accessLog writes one line for each request, but of refusals no more than its ration.
type accessLog struct {
	next     http.Handler
	log      *slog.Logger
	refusals ration
}

// recorder notes what became of a request. Flushing reaches the connection
// through Unwrap, as without it.
type recorder struct {
	http.ResponseWriter
	status  int
	token   *ctb.Token // nil unless it was accepted
	refusal error      // why the token was not
	err     error      // why the upstream failed
}

type recorderKey struct{}

// recorderOf returns the record of a request, or one that nobody reads.
func recorderOf(r *http.Request) *recorder {
	if rec, ok := r.Context().Value(recorderKey{}).(*recorder); ok {
		return rec
	}
	return new(recorder)
}

// NoteRefusal brings the reason of a refusal into the gateway's log. Set it as
// the OnRefusal of the verifier's configuration.
func NoteRefusal(r *http.Request, err error) { recorderOf(r).refusal = err }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Hijack implements http.Hijacker. The proxy writes its 101 past WriteHeader.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// noteToken runs behind the authorization, and tells the log which token it was.
func noteToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorderOf(r).token, _ = ctb.FromContext(r.Context())
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (l *accessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	defer func() { l.write(rec, r, time.Since(start)) }() // also if the upstream breaks off and the proxy panics with http.ErrAbortHandler
	l.next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), recorderKey{}, rec)))
}

// write logs the request. It knows a token by its jti and kid where it was
// accepted, and by the beginning of its SHA-256 where it was not or has no jti:
// neither lets a reader of the log use the token, or tells whose it is.
func (l *accessLog) write(rec *recorder, r *http.Request, took time.Duration) {
	if rec.token == nil && !l.refusals.take(l.log) {
		return
	}
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs,
		slog.String("method", r.Method),
		slog.String("host", r.Host),
		slog.String("path", r.URL.Path),
		slog.Int("status", rec.status),
		slog.Duration("took", took),
		slog.String("client", r.RemoteAddr),
	)
	if rec.token != nil {
		attrs = append(attrs, slog.String("jti", rec.token.ID), slog.String("kid", rec.token.KeyID))
	}
	if rec.token == nil || rec.token.ID == "" {
		if sum := fingerprint(r.Header.Get("Authorization")); sum != "" {
			attrs = append(attrs, slog.String("token_sha256", sum))
		}
	}
	if rec.refusal != nil {
		attrs = append(attrs, slog.String("refused", rec.refusal.Error()))
	}
	if rec.err != nil {
		attrs = append(attrs, slog.String("error", rec.err.Error()))
	}
	level := slog.LevelInfo
	if rec.refusal != nil && rec.status >= 500 || rec.err != nil && rec.status != statusClientGone {
		level = slog.LevelError // the keys cannot be had or trusted, or the upstream failed: not the client's fault
	}
	l.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// fingerprint is the beginning of the SHA-256 of the bearer token in an
// Authorization header, to find the same token in another log. Of other schemes
// there is none: the hash of a short password tells the password.
func fingerprint(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.Trim(token, " ")
	if token == "" || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}
