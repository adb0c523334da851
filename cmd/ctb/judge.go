package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// evidenceFlags name what evidence is judged by. Every command that judges has them.
type evidenceFlags struct {
	policy, root, ca string
	collateralFlags
}

func (f *evidenceFlags) register(cmd *cobra.Command) {
	cmd.Flags().Var(text{&f.policy, "FILE"}, "policy", "the policy: which evidence is yours (YAML or JSON)")
	completeFlag(cmd, "policy", "yaml", "yml", "json")
	f.registerFacts(cmd)
}

// registerFacts registers the flags that facts depend on: all but the policy.
func (f *evidenceFlags) registerFacts(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.collateralFlags.register(cmd)
	flags.Var(text{&f.root, "FILE"}, "root", "for development: a root certificate to trust in the place of the hardware makers'")
	flags.Var(text{&f.ca, "FILE"}, "ca", "the certificates (PEM) that a server must be known by (default: the public CAs, and anybody for what carries its own evidence)")
	completeFlag(cmd, "root", "pem", "der", "crt", "cer")
	completeFlag(cmd, "ca", "pem", "crt", "cer")
}

// reader returns what reads the files and URLs of a command line.
func (f *evidenceFlags) reader(s streams) (reader, error) {
	client, err := trusting(f.ca)
	return reader{streams: s, client: client}, err
}

// judge answers the two questions about evidence: is it genuine, is it ours?
type judge struct {
	policy    *attest.Policy // nil: facts alone
	path      string         // of the policy
	platforms []attest.Verifier
	sources   *sources            // where collateral comes from that nothing brought
	staple    *attest.Attestation // what the broker served beside its keys, nil for nothing
}

// load reads the policy, the root and the collateral that the flags name. The instant is that of judgement.
func (f *evidenceFlags) load(ctx context.Context, in reader, at time.Time) (*judge, error) {
	j := &judge{path: f.policy}
	var root *x509.Certificate
	var err error
	if f.policy != "" {
		if j.policy, root, err = evidence.LoadPolicy(f.policy); err != nil {
			return nil, usagef("", "%w", err)
		}
	}
	if f.root != "" {
		if root, err = readRoot(f.root); err != nil {
			return nil, err
		}
	}
	if j.sources, err = f.open(ctx, in, root, at); err != nil {
		return nil, err
	}
	j.platforms = j.sources.verifiers(root)
	return j, nil
}

// verify has evidence judged by the verifier of its platform.
func (j *judge) verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	for _, v := range j.platforms {
		if v.Platform() == e.Platform {
			return v.Verify(ctx, e, at)
		}
	}
	return nil, fmt.Errorf("no verifier for evidence of platform %q", e.Platform)
}

// policyName is the policy's file, or "default". A file of that name has its folder before it.
func (j *judge) policyName() string {
	switch {
	case j.policy == nil:
		return "default"
	case j.path == "default":
		return "./default"
	}
	return j.path
}

// byDefault adds to the reasons against genuine evidence what speaks against it
// where no policy is given.
func (j *judge) byDefault(r *attest.Report, refusals []attest.Refusal) []attest.Refusal {
	if j.policy != nil {
		return refusals
	}
	return append(append(attest.DefaultRefusals(r), refusals...), attest.Refusal{
		Key: "builds", Want: "a policy that names the builds that are yours", Got: "no policy",
		Fix: "give --policy FILE: nothing is accepted without one",
	})
}

// refusals are the reasons why genuine evidence is refused.
func refusals(err error) []attest.Refusal {
	var r *attest.RefusalError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return r.Refusals
	}
	return []attest.Refusal{{Key: "policy", Got: err.Error()}}
}

// readRoot reads the root certificate of --root; without one it returns nil, which is the makers'.
func readRoot(path string) (*x509.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	root, err := evidence.Root(path)
	if err != nil {
		return nil, usagef("", "--root: %w", err)
	}
	return root, nil
}
