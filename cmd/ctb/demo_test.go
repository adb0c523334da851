package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// freePorts are the flags for a demo that disturbs nobody.
var freePorts = []string{"--broker-addr", "127.0.0.1:0", "--gateway-addr", "127.0.0.1:0"}

// TestDemoServe keeps the demo up and runs each line that it prints, in a shell, as pasted.
func TestDemoServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a folder") // the lines must quote it
	installCTB(t)
	lines := serveDemo(t, dir)
	for _, test := range []struct{ begins, contains, want string }{
		{"curl", "/token ", `"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"`},
		{"curl", "/.well-known/jwks.json", `{"keys":[{"kty":"RSA","use":"sig"`},
		{"curl", "/api -H", "Access Token parsed successfully"},
		{"curl", "/stsToken", `{"Access Token": "ey`},
		{"curl", `/api" --header 'authorization: Bearer `, "Access Token parsed successfully"},
		{"ctb", " exchange ", "ey"},
		{"ctb", " inspect ", "✓ genuine, and accepted by the policy"},
		{"ctb", " --fresh ", "✓ genuine and fresh, and accepted by the policy"},
		{"ctb", " verify ", "✓ valid"},
		{"ctb", " decide ", "✓ there would be a token"},
	} {
		t.Run(test.begins+test.contains, func(t *testing.T) {
			for _, program := range []string{"sh", test.begins} {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("the line needs %s", program)
				}
			}
			line := pick(t, lines, test.begins, test.contains)
			if got := shell(t, line); !strings.Contains(despace(got), despace(test.want)) {
				t.Errorf("%.100s…\ngot  %.400s\nwant %s", line, got, test.want)
			}
		})
	}
	t.Run("without curl", func(t *testing.T) { callOriginal(t, lines) })
	t.Run("URLs", func(t *testing.T) { judgeURLs(t, dir, lines) })
}

// callOriginal does what the original's two lines do.
func callOriginal(t *testing.T, lines []string) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // curl -k
	line := pick(t, lines, "curl", "/stsToken")
	quoted := regexp.MustCompile(`"(https://[^"]*)" -H "Content-Type: application/json" -d '([^']*)'$`).FindStringSubmatch(line)
	if quoted == nil {
		t.Fatalf("got another form of the line: %s", line)
	}
	var answer map[string]string
	if err := json.Unmarshal(get(t, client, quoted[1], "Content-Type", "application/json", quoted[2]), &answer); err != nil {
		t.Fatal(err)
	}
	line = pick(t, lines, "curl", `/api" --header`)
	quoted = regexp.MustCompile(`"(https://[^"]*)" --header 'authorization: (Bearer [^']*)'$`).FindStringSubmatch(line)
	if quoted == nil {
		t.Fatalf("got another form of the line: %s", line)
	}
	for _, token := range []string{quoted[2], "Bearer " + answer["Access Token"]} {
		if got := get(t, client, quoted[1], "Authorization", token, ""); strings.TrimSpace(string(got)) != "Access Token parsed successfully" {
			t.Errorf("/api: got %s", got)
		}
	}
}

func get(t *testing.T, client *http.Client, url, header, value, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(header, value)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got %s and the error %v: %s", url, resp.Status, err, answer)
	}
	return answer
}

// judgeURLs gives the commands URLs where they take them.
func judgeURLs(t *testing.T, dir string, lines []string) {
	_, jwks, _ := strings.Cut(pick(t, lines, "curl", "/.well-known/jwks.json"), "https://")
	file := func(name string) string { return filepath.Join(dir, name) }
	judge := []string{"--collateral", file("collateral.json"), "--policy", file("policy.yaml"), "--ca", file("ca.pem")}
	if code, out := runHere(t, "", append(judge, "inspect", "https://"+jwks)...); code != exitOK {
		t.Errorf("inspect: got exit code %d, want 0: %s", code, out)
	}
	token, err := os.ReadFile(file("access-token.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	if code, out := runHere(t, string(token), append(judge, "verify", "-", "--jwks", "https://"+jwks)...); code != exitOK {
		t.Errorf("verify: got exit code %d, want 0: %s", code, out)
	}
	// What the broker staples is all that a policy needs.
	stapled := []string{"--policy", file("policy.yaml")}
	for _, url := range []string{"https://" + jwks, strings.TrimSuffix("https://"+jwks, "/.well-known/jwks.json"), strings.Replace("https://"+jwks, "jwks.json", "attestation", 1)} {
		code, out := runHere(t, "", append(stapled, "inspect", url)...)
		if code != exitOK || !strings.Contains(out, "stapled by the broker, signed under the development root") {
			t.Errorf("inspect %s: got exit code %d, want 0, by what the broker staples: %s", url, code, out)
		}
	}
	if code, out := runHere(t, string(token), append(stapled, "verify", "-", "--jwks", "https://"+jwks)...); code != exitOK || !strings.Contains(out, "stapled by the broker") {
		t.Errorf("verify: got exit code %d, want 0, by what the broker staples: %s", code, out)
	}
	attestation, err := os.ReadFile(file("attestation.json"))
	if err != nil {
		t.Fatal(err)
	}
	mislabelled := strings.Replace(strings.Replace(string(attestation), `"use":"tls"`, `"use":"sig"`, 1), `"kid":"`, `"kid":"x`, 1)
	if code, out := runHere(t, mislabelled, append(stapled, "inspect", "-", "--json")...); code != exitNo || !strings.Contains(out, "use: got sig, want tls") || !strings.Contains(out, "kid: got x") {
		t.Errorf("keys under other names: got exit code %d, want 1: %s", code, out)
	}
	pin := []string{"policy", "new", "https://" + jwks, "--root", file("root.pem"), "--accept", "simulated_root", "--out", file("pinned.yaml")}
	if code, out := runHere(t, "", pin...); code != exitOK {
		t.Errorf("policy new: got exit code %d, want 0: %s", code, out)
	}
	if code, out := runHere(t, "", "inspect", "https://"+jwks, "--policy", file("pinned.yaml")); code != exitOK {
		t.Errorf("inspect, by the policy that was just written: got exit code %d, want 0: %s", code, out)
	}
	code, out := runHere(t, "", "inspect", "https://"+jwks) // under Intel's root
	if code != exitNo || !strings.Contains(out, "untrusted root") {
		t.Errorf("without the root: got exit code %d, want 1: %s", code, out)
	}
	exchangeAt(t, dir, strings.TrimSuffix("https://"+jwks, "/.well-known/jwks.json"))
}

// exchangeAt asks the broker for tokens in other ways than the printed line does.
func exchangeAt(t *testing.T, dir, broker string) {
	file := func(name string) string { return filepath.Join(dir, name) }
	idToken, err := os.ReadFile(file("id-token.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	strict := file("strict.yaml")
	policy := "builds: [{tee: sgx, mrenclave: " + strings.Repeat("ab", 32) + "}]\nsimulated_root: root.pem\n"
	if err := os.WriteFile(strict, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"by a CA", []string{"--ca", file("ca.pem")}, exitOK, "ey"},
		{"whole answer", []string{"--ca", file("ca.pem"), "--scope", "read:admin", "--json"}, exitOK, `"scope": "read:admin"`},
		{"no CA knows it", nil, exitNo, "give --policy FILE, and its evidence decides; or its certificate with --ca FILE"},
		{"stapled collateral", []string{"--policy", file("policy.yaml")}, exitOK, "ey"},
		{"another build", []string{"--collateral", file("collateral.json"), "--policy", strict}, exitNo, "the id token was not sent"},
		{"not in the rules", []string{"--ca", file("ca.pem"), "--audience", "https://example.com/other"}, exitNo, "invalid_target"},
		{"scope not in the rules", []string{"--ca", file("ca.pem"), "--scope", "everything"}, exitNo, "invalid_scope"},
	} {
		code, out := runHere(t, string(idToken), append([]string{"exchange", "--broker", broker}, test.args...)...)
		if code != test.code || !strings.Contains(out, test.want) {
			t.Errorf("exchange, %s: got exit code %d and %.300s, want %d and %s", test.name, code, out, test.code, test.want)
		}
		if strings.Contains(out, strings.TrimSpace(string(idToken))) {
			t.Errorf("exchange, %s: the id token is in the output", test.name)
		}
	}
}

// serveDemo starts the demo and returns what it prints until it stays. The
// cleanup interrupts it, which must be its good end.
func serveDemo(t *testing.T, dir string) []string {
	ctx, interrupt := context.WithCancel(context.Background())
	r, w := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append(freePorts, "demo", "--serve", "--dir", dir), strings.NewReader(""), w, &stderr)
		w.Close()
	}()
	t.Cleanup(func() {
		interrupt()
		if code := <-done; code != exitOK {
			t.Errorf("demo --serve, interrupted: got exit code %d, want 0: %s", code, &stderr)
		}
	})
	var lines []string
	for s := bufio.NewScanner(r); s.Scan(); {
		lines = append(lines, s.Text())
		if strings.Contains(s.Text(), "Ctrl-C") {
			go io.Copy(io.Discard, r)
			return lines
		}
	}
	t.Fatalf("the demo ended by itself: %s\n%s", &stderr, strings.Join(lines, "\n"))
	return nil
}

// pick returns the line that begins with the program and contains the text.
func pick(t *testing.T, lines []string, program, text string) string {
	t.Helper()
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		if name == program && strings.Contains(line, text) {
			return line
		}
	}
	t.Fatalf("no line of %s has %q:\n%s", program, text, strings.Join(lines, "\n"))
	return ""
}

// installCTB puts this very program into the search path, as ctb.
func installCTB(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "ctb")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// shell runs a line as pasted.
func shell(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %s %s", err, &stdout, &stderr)
	}
	return stdout.String()
}

// runHere runs the program in this process and returns all that it wrote.
func runHere(t *testing.T, stdin string, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &out)
	return code, out.String()
}

func despace(s string) string { return strings.Join(strings.Fields(s), "") }

// TestDemoTakenPort says whose port is taken and by which flag to choose another.
func TestDemoTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{"broker-addr", "gateway-addr", "idp-addr"} {
		code, out := runHere(t, "", append(freePorts, "demo", "--"+name, l.Addr().String())...)
		if code != exitUsage || !strings.Contains(out, l.Addr().String()+" is taken") || !strings.Contains(out, "--"+name+" 127.0.0.1:0") {
			t.Errorf("--%s taken: got exit code %d and %s", name, code, out)
		}
	}
}

// TestDemoInterrupted ends the demo in the midst of its story, which is not success.
func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if code := run(ctx, append(freePorts, "demo"), nil, &out, &out); code == exitOK {
		t.Errorf("got exit code 0 of a demo that showed nothing: %s", &out)
	}
}

func TestGoRunIsKnown(t *testing.T) {
	for self, want := range map[string]bool{
		"/tmp/go-build123/b001/exe/ctb": true,
		"/tmp/cache/3b/3ba22364532b25c43c1af63e8b03c02247470e37d751cd856182dc3eaf34e17f-d/ctb": true,
		"bin/ctb":            false,
		"/home/me/ctb-d/ctb": false,
		"ctb":                false,
	} {
		if got := isGoRun(self); got != want {
			t.Errorf("%s: got %t, want %t", self, got, want)
		}
	}
}
