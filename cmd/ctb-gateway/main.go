// Command ctb-gateway is the authorizing reverse proxy: it stands before an
// upstream and lets requests through whose credential is good enough.
//
//	ctb-gateway -config FILE [-check]
//	ctb-gateway explain -config FILE [-method GET] [-path /] [-header 'Name: value']... [-json] TOKEN|-
//	ctb-gateway hash-whitelist FILE
//	ctb-gateway -version
//
// The configuration is explained in deploy/gateway.example.yaml; variables of the environment
// (CTB_GATEWAY_…, NS_…) take the place of what it says, or of the whole file. With -check it
// is read, with all the files that it names, and what would be enforced is
// told in words; nothing is started, and nothing is fetched.
//
// Logs go to standard error as JSON lines. SIGHUP and changes of the files (the
// configuration itself, keys, whitelist, policy, collateral, certificates) reload them;
// while a file is not good, what was read last is kept, and a file that has not changed is not read
// again. SIGTERM and SIGINT stop the gateway: requests and upgraded connections under
// way have ten seconds, and are then cut off. A second signal, a second later, ends it at once.
//
// The exit status is 0 if it was stopped, or the configuration is good, or help
// was asked for (-h), 1 if it failed, and 2 if it was called in a wrong way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	// First of all, for an unhandled SIGHUP would end the program: one that comes
	// while files are read waits here until they can be read again.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		time.Sleep(secondSignal)
		stop() // from now on a signal does what it does by default
	})
	ballast := make([]byte, ballastSize)
	p := &program{hangup: hangup, environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	status := p.run(ctx, os.Args[1:])
	runtime.KeepAlive(ballast)
	os.Exit(status)
}

// ballastSize is that of a block, in bytes, that is never touched and so takes no memory, but counts as
// heap in use. A gateway uses a few MiB and would collect garbage at every 4 MiB of it, many
// times a second under load; so it does at some 20 MiB. Where much is in use, by tokens or
// connections, the ballast is too small to matter.
const ballastSize = 16 << 20

// secondSignal is how long after a signal another one is the same: supervisors
// and terminals signal a process and its group. A later one ends the program at once.
const secondSignal = time.Second

// program is what a process has from outside.
type program struct {
	hangup         <-chan os.Signal
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // for explain: the request would be refused
	exitUsage  = 2
)

const usage = `usage: ctb-gateway -config FILE [-check]
       ctb-gateway explain -config FILE [flags] TOKEN|-
       ctb-gateway hash-whitelist FILE

`

func (p *program) run(ctx context.Context, args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "explain":
			return p.explain(ctx, args[1:])
		case "hash-whitelist":
			return p.hashWhitelist(args[1:])
		}
	}
	flags := p.flagSet("ctb-gateway", usage)
	path := flags.String("config", "", "configuration `file`, YAML or JSON: see deploy/gateway.example.yaml")
	check := flags.Bool("check", false, "read the configuration and all files that it names, tell what would be enforced, and stop")
	tellVersion := flags.Bool("version", false, "tell the version, and stop")
	if status, ok := parse(flags, args); !ok {
		return status
	}
	switch {
	case *tellVersion:
		fmt.Fprintln(p.stdout, "ctb-gateway", version())
		return exitOK
	case flags.NArg() > 0: // not quoted: a token may be among them
		return p.misused(flags, "what is no flag is not read here: give the configuration with -config; explain and hash-whitelist come before their flags")
	case *path == "" && !configured(p.environ):
		return p.misused(flags, "-config is missing: which configuration?")
	}
	var level slog.LevelVar
	log := slog.New(slog.NewJSONHandler(p.stderr, &slog.HandlerOptions{Level: &level}))
	s, err := newService(*path, p.environ, log, &level)
	if err == nil && *check {
		err = s.describe(p.stdout)
	} else if err == nil {
		err = s.start(ctx, p.hangup)
	}
	return p.ended(err)
}

// configured tells whether the environment alone may be a configuration.
func configured(environ []string) bool {
	return slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "CTB_GATEWAY_") || strings.HasPrefix(v, "NS_") })
}

// start opens everything before anything is served.
func (s *service) start(ctx context.Context, hangup <-chan os.Signal) error {
	doors, err := s.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.tellConfig()
	s.announce(doors)
	go s.follow(ctx, hangup)
	go s.keepFresh(ctx)
	return s.serve(ctx, doors)
}

// ended tells of an error, and returns the exit status.
func (p *program) ended(err error) int {
	if err != nil {
		fmt.Fprintln(p.stderr, "ctb-gateway:", err)
		return exitFailed
	}
	return exitOK
}

// flagSet returns flags whose help begins with usage.
func (p *program) flagSet(name, usage string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	flags.Usage = func() {
		fmt.Fprint(p.stderr, usage)
		flags.PrintDefaults()
	}
	return flags
}

// misused says what is wrong with the arguments, after how they should be.
func (p *program) misused(flags *flag.FlagSet, format string, args ...any) int {
	flags.Usage()
	fmt.Fprintf(p.stderr, "\nctb-gateway: "+format+"\n", args...)
	return exitUsage
}

// parse reads the arguments. Where it is not ok, the program ends with the status.
func parse(flags *flag.FlagSet, args []string) (status int, ok bool) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil:
		return exitUsage, false
	}
	return 0, true
}
