//go:build !linux

package services

import "syscall"

// attributes: only Linux can tie a server's life to ours.
func attributes(bool) *syscall.SysProcAttr { return nil }
