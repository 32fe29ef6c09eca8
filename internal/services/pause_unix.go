//go:build unix

package services

import "syscall"

// Pause stops the server in the middle of what it does (SIGSTOP), so that it hangs without ending; Resume lets it go on.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
