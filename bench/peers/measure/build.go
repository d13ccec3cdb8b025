//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// target is a server to measure. In its arguments LISTEN and ADMIN stand for addresses.
type target struct {
	Name   string
	Binary string
	Args   []string
}

// command is how to start it.
func (t target) command(listen, admin string) *exec.Cmd {
	place := strings.NewReplacer("LISTEN", listen, "ADMIN", admin)
	var args []string
	for _, arg := range t.Args {
		args = append(args, place.Replace(arg))
	}
	return exec.Command(t.Binary, args...)
}

// wheelgateTags are those of the product's Makefile.
const wheelgateTags = "urfave_cli_no_template"

// buildAll builds what impls need, in dir.
func buildAll(ctx context.Context, dir string, impls []string, cores []int) ([]target, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	server := filepath.Join(dir, "server")
	if err := build(ctx, cores, root, "-o", server, "./server"); err != nil {
		return nil, err
	}
	var targets []target
	for _, impl := range impls {
		if name, product, _ := strings.Cut(impl, "="); name == "wheelgate" {
			found, err := buildWheelgate(ctx, dir, root, product, cores)
			if err != nil {
				return nil, err
			}
			targets = append(targets, found...)
			continue
		}
		targets = append(targets, target{impl, server, []string{"-impl", impl, "-listen", "LISTEN", "-admin", "ADMIN"}})
	}
	return targets, nil
}

// buildWheelgate builds cmd/wheelgate of a checkout, "" for the one around us, with
// the probe of the other servers laid over it. It is a target for each transport
// it has, but of another checkout, to compare with, for the default only.
func buildWheelgate(ctx context.Context, dir, root, product string, cores []int) ([]target, error) {
	other := product
	if other == "" {
		product = filepath.Join(root, "..", "..")
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(product, "cmd", "wheelgate", "peers_probe.go"): filepath.Join(root, "server", "probe.go"),
	}})
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "wheelgate"); err != nil {
		return nil, err
	}
	overlayFile, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "wheelgate")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return nil, err
	}
	err = build(ctx, cores, product, "-tags", wheelgateTags, "-overlay", overlayFile, "-o", binary, "./cmd/wheelgate")
	if err != nil {
		return nil, err
	}
	if other != "" {
		return []target{wheelgate(binary, "wheelgate of "+other)}, nil
	}
	help, err := exec.CommandContext(ctx, binary, "--help").Output()
	if err != nil {
		return nil, fmt.Errorf("wheelgate --help: %w", err)
	}
	if !strings.Contains(string(help), "--transport") {
		return []target{wheelgate(binary, "wheelgate")}, nil
	}
	return []target{
		wheelgate(binary, "wheelgate loop", "--transport=loop"),
		wheelgate(binary, "without io_uring", "--transport=loop", "--io-uring=false"),
		wheelgate(binary, "wheelgate goroutine", "--transport=goroutine"),
	}, nil
}

func wheelgate(binary, name string, extra ...string) target {
	return target{name, binary, slices.Concat([]string{
		"--listen", "LISTEN", "--admin-listen", "ADMIN", "--env-file=",
		"--echo", "--ping-interval=0s", "--log-level=warn", "--session-timeout=1h",
	}, extra)}
}

// build runs go build in folder.
func build(ctx context.Context, cores []int, folder string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-trimpath", "-ldflags", "-s -w"}, args)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, os.Stderr, os.Stderr
	if err := startOn(cores, cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go build in %s: %w", folder, err)
	}
	return nil
}

// moduleRoot is the folder of bench/peers, which the working folder is in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	if !strings.HasSuffix(root, filepath.Join("bench", "peers")) {
		return "", fmt.Errorf("run it in bench/peers, not in %s", root)
	}
	return root, nil
}
