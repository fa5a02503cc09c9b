"""Kernels in C++ that replace slow torch operators on a CPU, compiled when first needed. This file needs no torch."""
