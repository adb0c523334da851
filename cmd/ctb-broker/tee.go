package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

// The values of the key tee.
const (
	teeAuto      = "auto"
	teeGramine   = "gramine"
	teeTDX       = "tdx"
	teeSEVSNP    = "sev-snp"
	teeNitro     = "nitro"
	teeSimulated = "simulated"
)

var tees = []string{teeAuto, teeGramine, teeTDX, teeSEVSNP, teeNitro, teeSimulated}

// quoters are those that this build has, by their value of tee. A file with a build constraint adds the simulated one.
var quoters = map[string]func(*config) (*hardware, error){
	teeAuto:    func(*config) (*hardware, error) { return places{}.auto(context.Background()) },
	teeGramine: func(*config) (*hardware, error) { return named(context.Background(), places{}.gramine) },
	teeTDX:     func(*config) (*hardware, error) { return named(context.Background(), places{}.tdx) },
	teeSEVSNP:  func(*config) (*hardware, error) { return named(context.Background(), places{}.sevSNP) },
	teeNitro:   func(*config) (*hardware, error) { return named(context.Background(), places{}.nitro) },
}

// hardware is where evidence comes from, and the root that it is verified under.
type hardware struct {
	attest.Quoter
	root *x509.Certificate // nil: the hardware maker's
	tee  string            // which it is, by its value of tee
	what string            // in words
	// besides is what else was found, or found out, and is not used.
	besides []string
}

// lookTime is for finding out whether one kind of hardware is there, without asking it for evidence.
const lookTime = 10 * time.Second

// look is for one kind of hardware, or for any.
type look func(context.Context) (*hardware, error)

// within waits for no kernel that takes its time.
func within(ctx context.Context, there look) (*hardware, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return there(ctx)
}

// named is the hardware that the configuration names. If it does not answer in time, it is taken for what it is all the
// same: a broker without evidence asks for it again and again, and does not sign meanwhile.
func named(ctx context.Context, there look) (*hardware, error) {
	h, err := within(ctx, there)
	if errors.Is(err, context.DeadlineExceeded) {
		h.besides = append(h.besides, fmt.Sprintf("it does not answer, and will be asked again: %v", err))
		err = nil
	}
	return h, err
}

// checkTEE refuses at once what this build cannot do.
func (c *config) checkTEE() error {
	if !slices.Contains(tees, c.TEE) {
		return c.file.Fault("tee", "got %q, want one of %s", c.TEE, strings.Join(tees, ", "))
	}
	if quoters[c.TEE] == nil {
		return c.file.Fault("tee", "this build cannot get evidence from %q: %s", c.TEE, buildHas())
	}
	if c.Simulated != (simulatedTEE{}) && c.TEE != teeSimulated {
		return c.file.Fault("simulated", "it is for tee: simulated alone")
	}
	return nil
}

func buildHas() string {
	return "it has " + strings.Join(slices.Sorted(maps.Keys(quoters)), ", ") + `; simulated is in builds with the tag "simulated", which are for development`
}

// newHardware finds the hardware that the configuration names, and for simulated hardware makes it.
func newHardware(c *config) (*hardware, error) {
	h, err := findHardware(c)
	if err != nil {
		return nil, fmt.Errorf("tee: %s: %w", c.TEE, err)
	}
	return h, nil
}

func findHardware(c *config) (*hardware, error) {
	find := quoters[c.TEE]
	if find == nil {
		return nil, errors.New(buildHas())
	}
	return find(c)
}

// tell logs which hardware it is.
func (h *hardware) tell(log *slog.Logger) {
	log.Info("evidence comes from "+h.what, "tee", h.tee)
	for _, text := range h.besides {
		log.Warn(text)
	}
}

// teeWords tells which hardware there is on the machine that is asked, which need not be the one where the broker will run.
func teeWords(c *config) string {
	if c.TEE == teeSimulated {
		return "simulated: evidence of the genuine format under a development root"
	}
	h, err := findHardware(c)
	return c.TEE + ": " + foundWords(h, err)
}

func foundWords(h *hardware, err error) string {
	if err != nil {
		return "not here, where the broker would not start:" + indented(err.Error())
	}
	words := h.what
	for _, text := range h.besides {
		words += indented(text)
	}
	return words
}

// indented puts lines below what is said beside a name.
func indented(text string) string {
	const below = "\n               "
	return below + strings.ReplaceAll(strings.TrimSpace(text), "\n", below)
}
