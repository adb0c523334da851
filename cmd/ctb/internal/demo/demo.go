// Package demo shows the confidential token broker's main job on one machine:
// an identity provider, the broker on simulated hardware, and a protected API behind
// the gateway, each on sockets of its own. A user logs in, the id token becomes an
// access token, a stranger checks it, and everything that must be refused is.
//
// It owns the parties' setting and the story. What the parties do is their own
// packages' work: the demo only ever speaks to them as anybody else would, over the
// network and through files. It is no example of a deployment: the hardware is
// simulated, the identity provider authenticates nobody, and all keys are made at start.
package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// Config says where the parties listen and what stays behind.
type Config struct {
	BrokerAddr  string // such as 127.0.0.1:8080; port 0 is any free one
	GatewayAddr string
	IdPAddr     string
	Dir         string // folder for keys, policy, collateral, …; empty: a temporary one, removed at the end
	SeedFile    string // the development root's seed, made if absent; empty: a fresh root each time
	Serve       bool   // stay up until the context ends
	Command     string // how this program is called in the lines to paste
	Report      *report.Writer
}

// What the original's checker answers to a good token.
const apiAnswer = "Access Token parsed successfully"

// What the demo's rules and tokens speak of.
const (
	clientID  = "ctb-demo"
	audience  = "https://example.com/server1-api" // the API behind the gateway
	elsewhere = "https://example.com/server2-api" // another API of the same rule
	scope     = "read:admin"
	lifetime  = time.Hour      // of access tokens
	session   = 12 * time.Hour // of id tokens, so that most printed lines work all day
)

// ErrFailed means that a step did not go as it should. The report says which.
var ErrFailed = errors.New("a step of the demo did not go as it should")

// Run plays the demo. The error is ErrFailed if a step went wrong, a
// *FlagError if the stage can't be set as the configuration wants it, and any other if something went wrong outside of the story.
func Run(ctx context.Context, c Config) error {
	s := &stage{config: c, out: c.Report}
	defer s.close()
	if err := s.set(ctx); err != nil {
		return err
	}
	s.introduce()
	for _, act := range []func(context.Context) error{s.logIn, s.exchange, s.verifyStapled, s.askNow, s.callAPI, s.speakOriginal} {
		if err := act(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.out.Verdict(report.Fail, "the demo stopped here: the next steps need this one")
			return ErrFailed
		}
	}
	s.refuseTokens(ctx)
	s.refuseBrokers(ctx)
	return s.finish(ctx)
}

// finish says how it went and, with Serve, stays.
func (s *stage) finish(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.failed > 0 {
		s.out.Verdict(report.Fail, fmt.Sprintf("%d of %d checks did not go as they should", s.failed, s.failed+s.passed))
		return ErrFailed
	}
	s.out.Verdict(report.Pass, fmt.Sprintf("all %d checks went as they should", s.passed))
	if !s.config.Serve {
		s.whatNext()
		return s.out.Err()
	}
	s.printLines()
	if err := s.out.Err(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil // Ctrl-C is how it ends
	case err := <-s.broken:
		return err
	}
}

// must writes the verdict of a step that the next ones need.
func (s *stage) must(label string, err error, details ...string) error {
	if err != nil {
		s.failed++
		s.out.Check(report.Fail, label, err.Error())
		return err
	}
	s.passed++
	s.out.Check(report.Pass, label, details...)
	return nil
}

// refused writes the verdict of something that must be refused: what it was, and
// why it was refused. as returns the reason in words if it is the one it should be, else "".
func (s *stage) refused(label, what string, err error, as func(error) string) {
	if err == nil {
		s.failed++
		s.out.Check(report.Fail, label, what, "WAS ACCEPTED, and must not be")
		return
	}
	reason := as(err)
	if reason == "" {
		s.failed++
		s.out.Check(report.Fail, label, what, "refused, but for another reason: "+err.Error())
		return
	}
	s.passed++
	s.out.Check(report.Pass, label, what, "refused: "+reason)
}
