package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/demo"
)

const demoLong = `Demo shows the whole confidential token broker on this machine, with nothing to
install: an identity provider, the broker on simulated hardware, and a
protected API behind the gateway, each on sockets of its own.

A user logs in; the id token is exchanged for an access token at the broker,
once its TLS key has proved where it lives; a stranger checks the key's
evidence and the token offline, and has the broker answer a nonce with fresh
evidence; the token opens the API. Then everything that must be refused is:
forged and expired tokens, other audiences, other builds, debug enclaves,
tampered rules.

The hardware is simulated: evidence of the genuine form, under a root made for
development, which a policy must name to accept it.

Exit codes: 0 every step went as it should; 1 one did not; 2 called wrongly, or
an address is taken.`

const demoExample = `  ctb demo

  # stays up, and prints lines to paste
  ctb demo --serve

  # leaves keys, policy, collateral and tokens in a folder
  ctb demo --dir demo-files

  # on any free ports
  ctb demo --broker-addr 127.0.0.1:0 --gateway-addr 127.0.0.1:0`

func newDemo(s streams) *cobra.Command {
	c := demo.Config{BrokerAddr: "127.0.0.1:8080", GatewayAddr: "127.0.0.1:9999", IdPAddr: "127.0.0.1:0"}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Show everything on this machine, with nothing to install",
		Long:    demoLong,
		Example: demoExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Report, c.Command = s.report(), commandLine()
			err := demo.Run(cmd.Context(), c)
			var flag *demo.FlagError
			switch {
			case errors.Is(err, demo.ErrFailed):
				return errNo
			case errors.As(err, &flag):
				return usagef(flag.Fix, "%w", err)
			}
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.BoolVar(&c.Serve, "serve", false, "stay up until Ctrl-C, and print lines to paste")
	flags.Var(text{&c.Dir, "FOLDER"}, "dir", "leave keys, policy, collateral and tokens in this folder")
	flags.Var(text{&c.SeedFile, "FILE"}, "seed", "the development root's seed, made if absent: the same root in every run")
	flags.Var(text{&c.BrokerAddr, "ADDRESS"}, "broker-addr", "where the broker listens")
	flags.Var(text{&c.GatewayAddr, "ADDRESS"}, "gateway-addr", "where the gateway listens")
	flags.Var(text{&c.IdPAddr, "ADDRESS"}, "idp-addr", "where the identity provider listens (port 0: any free one)")
	if err := cmd.MarkFlagDirname("dir"); err != nil {
		panic(err) // registered above
	}
	completeFlag(cmd, "seed", "hex", "seed", "txt")
	return cmd
}

// commandLine is how to call this program again, in a line to paste.
func commandLine() string {
	if _, err := exec.LookPath("ctb"); err == nil {
		return "ctb"
	}
	if self := os.Args[0]; !isGoRun(self) {
		return self
	}
	return "go run ./cmd/ctb"
}

// isGoRun tells a program that "go run" made: in a folder of its own for a while, or kept in Go's
// cache, wherever that is, in a folder called by a SHA-256 and "-d".
func isGoRun(self string) bool {
	folder := filepath.Base(filepath.Dir(self))
	return strings.Contains(self, "go-build") || len(folder) == 2*32+len("-d") && strings.HasSuffix(folder, "-d")
}
