// Package deploy tries the files of the project's folder deploy/ with the
// programs that they are for, or stand-ins of those where a machine would need special hardware.
package deploy
