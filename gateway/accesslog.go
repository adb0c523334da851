package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// log writes the request's one line, but of strangers and refusals no more than
// their ration. It knows a token by its jti and kid where it was accepted, and
// by the beginning of its SHA-256 where it was not or has no jti: neither lets a
// reader of the log use the token, or tells whose it is. An API key it knows by its name.
func (x *exchange) log(r *http.Request) {
	log := x.g.config.Logger
	if log == nil || (x.refusal != nil || x.decision.Who == nil) && !x.g.refusals.take(log) {
		return
	}
	handler, level, now := log.Handler(), x.level(), time.Now()
	if !handler.Enabled(r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 18)
	attrs = append(attrs,
		slog.String("method", short(r.Method)),
		slog.String("host", short(r.Host)),
		slog.String("path", short(r.URL.Path)),
		slog.String("route", x.decision.Route),
		slog.String("request_id", x.id[0]),
		slog.Duration("took", now.Sub(x.start)),
		slog.String("client", x.g.clientOf(r)),
	)
	if x.status != 0 {
		attrs = append(attrs, slog.Int("status", x.status))
	}
	attrs = appendIdentity(attrs, r, &x.decision, x.refusal == nil)
	if x.refusal != nil {
		attrs = appendRefusal(attrs, x.refusal)
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("error", x.err.Error()))
	}
	// A record of its own, without the place in the source: LogAttrs would walk the stack for it, and it is the same always.
	line := slog.NewRecord(now, level, "request", 0)
	line.AddAttrs(attrs...)
	_ = handler.Handle(r.Context(), line) // a log that can't be written stops no request
}

// longestShown bounds what a line repeats of a client's words, each, in bytes.
const longestShown = 1 << 10

func short(s string) string {
	if len(s) <= longestShown {
		return s
	}
	return s[:longestShown] + "..."
}

// level is Error where neither the client nor who asks is at fault.
func (x *exchange) level() slog.Level {
	switch {
	case x.gone:
	case x.refusal != nil && x.refusal.Reason == access.KeysUnavailable, x.err != nil:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func appendIdentity(attrs []slog.Attr, r *http.Request, d *Decision, allowed bool) []slog.Attr {
	if allowed {
		attrs = append(attrs, slog.String("mode", string(d.mode())))
	}
	switch {
	case d.Who == nil:
	case d.Who.Token != nil:
		if d.Who.Token.ID != "" {
			attrs = append(attrs, slog.String("jti", d.Who.Token.ID))
		} else if sum := fingerprint(r.Header.Get("Authorization")); sum != "" {
			attrs = append(attrs, slog.String("token_sha256", sum))
		}
		if d.Who.Token.KeyID != "" {
			attrs = append(attrs, slog.String("kid", d.Who.Token.KeyID))
		}
	case d.Who.Name != "":
		attrs = append(attrs, slog.String("api_key", d.Who.Name))
	}
	return attrs
}

func appendRefusal(attrs []slog.Attr, refusal *access.Refusal) []slog.Attr {
	attrs = append(attrs,
		slog.String("mode", string(refusal.Mode)),
		slog.String("reason", string(refusal.Reason)),
		slog.String("refused", refusal.Error()),
	)
	if refusal.Fault != "" {
		attrs = append(attrs, slog.String("fault", string(refusal.Fault)))
	}
	if refusal.Fingerprint != "" {
		attrs = append(attrs, slog.String("token_sha256", refusal.Fingerprint))
	}
	return attrs
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
	var buf [2048]byte // on the stack: most tokens fit
	sum := sha256.Sum256(append(buf[:0], token...))
	return hex.EncodeToString(sum[:6])
}
