package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// The exit codes.
const (
	exitOK    = 0
	exitNo    = 1 // the answer is no: not genuine, not accepted, refused
	exitUsage = 2 // the question was wrong: a flag, an argument, a file that is not there
)

// errNo says that the answer is no and that the command has already told why.
var errNo = errors.New("no")

// usageError is a question that can't be asked like this.
type usageError struct {
	err error
	fix string // what would be right
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef returns a usage error; fix says what would be right.
func usagef(fix, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), fix: fix}
}

// streams is what every command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// report returns a writer of reports on the standard output.
func (s streams) report() *report.Writer {
	return report.New(s.out, report.Detect(s.out, os.Getenv))
}

// notes returns a writer of reports on the standard error, for commands whose output is data.
func (s streams) notes() *report.Writer {
	return report.New(s.err, report.Detect(s.err, os.Getenv))
}

// run is the whole program: it runs one command and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := streams{in: stdin, out: stdout, err: stderr}
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errNo) {
		return exitNo
	}
	return complain(stderr, cmd, err)
}

// complain is the one place where an error becomes words and an exit code.
func complain(w io.Writer, cmd *cobra.Command, err error) int {
	// Errors quote what came from outside, which must not reach a terminal raw.
	text := report.Clean(strings.ReplaceAll(err.Error(), "\n", "; "))
	fmt.Fprintf(w, "%s: %s\n", cmd.CommandPath(), text)
	var u *usageError
	if !errors.As(err, &u) {
		if fix := fixFor(err); fix != "" {
			fmt.Fprintf(w, "  %s\n", fix)
		}
		return exitNo
	}
	if u.fix != "" {
		fmt.Fprintf(w, "  %s\n", u.fix)
	}
	fmt.Fprintf(w, "  (%q says more)\n", cmd.CommandPath()+" --help")
	return exitUsage
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "ctb",
		Short: "Confidential token broker: see it, inspect its evidence, verify its tokens",
		Long: `ctb is the desk of the confidential token broker: a token service that runs in
a trusted execution environment, and whose keys the hardware vouches for.

Begin with "ctb demo": it shows everything on this machine, with nothing to
install.

Exit codes: 0 all is well; 1 it is not (not genuine, not accepted, refused); 2
the command was called wrongly.`,
		Version: version(),
		Example: `  ctb demo

  ctb demo --dir demo-files
  ctb inspect demo-files/attestation.json --policy demo-files/policy.yaml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommandOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef(flagHint(cmd, err), "%w", err)
	})
	// cobra breaks no lines of its own accord.
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages |", fmt.Sprintf("FlagUsagesWrapped %d |", report.Width)))
	root.AddCommand(newDemo(s), newInspect(s), newVerify(s), newExchange(s), newCollateral(s), newPolicy(s), newRules(s), newMeasure(s))
	root.InitDefaultCompletionCmd()
	return root
}

// version is the module's, or what the build knows of its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// subcommandOnly refuses arguments of a command that only has subcommands,
// and suggests the nearest one.
func subcommandOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	fix := fmt.Sprintf("the commands are listed by %q", cmd.CommandPath()+" --help")
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		fix = fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+near[0])
	}
	name := args[0]
	if len(name) > 20 { // perhaps a token
		name = name[:20] + "…"
	}
	return usagef(fix, "there is no command %q", name)
}

// oneArg wants exactly one argument, called name.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) != 1:
			return usagef("usage: "+cmd.UseLine(), "got %d arguments, want one: %s", len(args), name)
		case args[0] == "":
			return usagef("usage: "+cmd.UseLine(), "got an empty argument, as of an unset variable, want %s", name)
		}
		return nil
	}
}

// noArgs wants none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("usage: "+cmd.UseLine(), "got %d arguments, want none", len(args)) // not quoted: a token may be among them
}
