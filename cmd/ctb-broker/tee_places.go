package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	hfnsm "github.com/hf/nsm"

	"github.com/confidential-token-broker/ctb/attest/gramine"
	"github.com/confidential-token-broker/ctb/attest/nsm"
	"github.com/confidential-token-broker/ctb/attest/tsm"
)

// The places where a machine shows its hardware.
const (
	pathTSM = configfsi.TsmPrefix + "/report"
	pathNSM = "/dev/nsm"
)

// places are where to look for hardware. The zero value is this machine. What a look returns beside an error is
// how the hardware would be used, if it were there.
type places struct {
	attestation string           // Gramine's folder; empty means /dev/attestation
	tsmClient   configfsi.Client // nil means Linux's configfs
	nsmOptions  *hfnsm.Options   // nil means /dev/nsm
}

func (p places) gramine(ctx context.Context) (*hardware, error) {
	dir := cmp.Or(p.attestation, gramine.Dir)
	q := &gramine.Quoter{Dir: dir}
	_, err := q.Detect(ctx)
	return &hardware{Quoter: q, tee: teeGramine, what: "an SGX enclave under Gramine (" + dir + ")"}, err
}

// guests are the kinds of confidential guests, by the name of Linux's driver.
var guests = map[string]struct{ tee, what string }{
	tsm.TDXGuest: {teeTDX, "a TDX guest (" + pathTSM + ", provider " + tsm.TDXGuest + ")"},
	tsm.SEVGuest: {teeSEVSNP, "an SEV-SNP guest (" + pathTSM + ", provider " + tsm.SEVGuest + ")"},
}

// guest is a guest of the given provider, or of whichever there is.
func (p places) guest(ctx context.Context, provider string) (*hardware, error) {
	q := &tsm.Quoter{Client: p.tsmClient, Provider: provider}
	there, err := q.Detect(ctx)
	kind := guests[cmp.Or(there, provider)]
	return &hardware{Quoter: q, tee: kind.tee, what: kind.what}, err
}

func (p places) anyGuest(ctx context.Context) (*hardware, error) { return p.guest(ctx, "") }
func (p places) tdx(ctx context.Context) (*hardware, error)      { return p.guest(ctx, tsm.TDXGuest) }
func (p places) sevSNP(ctx context.Context) (*hardware, error)   { return p.guest(ctx, tsm.SEVGuest) }

func (p places) nitro(ctx context.Context) (*hardware, error) {
	q := &nsm.Quoter{Options: p.nsmOptions}
	module, err := q.Detect(ctx)
	return &hardware{Quoter: q, tee: teeNitro, what: fmt.Sprintf("a Nitro Enclave (%s, module %.80q)", pathNSM, module)}, err
}

// auto takes the first that is there: an enclave before the guest that it may run in, and a guest before a
// device that its host may have given it. It never takes simulated hardware.
func (p places) auto(ctx context.Context) (*hardware, error) {
	var chosen *hardware
	var besides, missing []string
	for _, place := range []struct {
		tee, path string
		look      func(context.Context) (*hardware, error)
	}{
		{teeGramine, cmp.Or(p.attestation, gramine.Dir), p.gramine},
		{teeTDX + ", " + teeSEVSNP, pathTSM, p.anyGuest},
		{teeNitro, pathNSM, p.nitro},
	} {
		h, err := within(ctx, place.look)
		switch {
		case err != nil:
			text := fmt.Sprintf("%s (%s): %v", place.tee, place.path, err)
			missing = append(missing, text)
			if !errors.Is(err, fs.ErrNotExist) {
				besides = append(besides, "it is there in part, and not used: "+text)
			}
		case chosen == nil:
			chosen = h
		default:
			besides = append(besides, fmt.Sprintf("there is also %s, which is not used; tee: %s would use it", h.what, h.tee))
		}
	}
	if chosen == nil {
		return nil, fmt.Errorf("no hardware here gives evidence; looked for\n  %s\nsimulated hardware is for development: it is taken only by its name, tee: %s, and only builds with the tag \"simulated\" have it",
			strings.Join(missing, "\n  "), teeSimulated)
	}
	chosen.besides = append(chosen.besides, besides...)
	return chosen, nil
}
