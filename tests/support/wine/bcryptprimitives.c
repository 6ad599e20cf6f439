/* Makes Debian's wine enough of a Windows for the program, which loads this library first.

   1. ProcessPrng, the one function that Rust's std takes from bcryptprimitives.dll, which wine 8 does
      not have: over the one that has always been there.
   2. Locks keep readers out, as on Windows: wine lets everybody read what another one has locked.
   3. Variables that wine takes from its registry or its own language are as the test has set them. */

#include <stddef.h>
#include <string.h>
#include <windows.h>
#include <winternl.h>

__declspec(dllimport) BOOLEAN SystemFunction036(void *buffer, ULONG length);

__declspec(dllexport) BOOL ProcessPrng(BYTE *buffer, size_t length) {
  return SystemFunction036(buffer, (ULONG)length);
}

typedef NTSTATUS(NTAPI *ReadFunction)(HANDLE, HANDLE, PIO_APC_ROUTINE, void *, IO_STATUS_BLOCK *, void *,
                                      ULONG, LARGE_INTEGER *, ULONG *);

static ReadFunction read_file;

/* Whoever may share a lock on one byte may read: the program locks whole files. */
static NTSTATUS NTAPI read_unlocked(HANDLE file, HANDLE event, PIO_APC_ROUTINE routine, void *context,
                                    IO_STATUS_BLOCK *status, void *buffer, ULONG length,
                                    LARGE_INTEGER *offset, ULONG *key) {
  OVERLAPPED byte = {0};
  if (GetFileType(file) == FILE_TYPE_DISK) {
    if (LockFileEx(file, LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &byte)) {
      UnlockFileEx(file, 0, 1, 0, &byte);
    } else if (GetLastError() == ERROR_LOCK_VIOLATION) {
      status->Information = 0;
      return status->Status = (NTSTATUS)0xC0000054; /* STATUS_FILE_LOCK_CONFLICT */
    }
  }
  return read_file(file, event, routine, context, status, buffer, length, offset, key);
}

/* Takes the place of NtReadFile where the program looks its imported functions up. */
static void keep_readers_out(void) {
  BYTE *program = (BYTE *)GetModuleHandleW(NULL);
  IMAGE_NT_HEADERS *headers = (IMAGE_NT_HEADERS *)(program + ((IMAGE_DOS_HEADER *)program)->e_lfanew);
  DWORD place = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
  IMAGE_IMPORT_DESCRIPTOR *library = (IMAGE_IMPORT_DESCRIPTOR *)(program + place);
  read_file = (ReadFunction)(void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtReadFile");
  for (; place && library->Name; library++) {
    IMAGE_THUNK_DATA *function = (IMAGE_THUNK_DATA *)(program + library->FirstThunk);
    for (; function->u1.Function; function++) {
      DWORD protection;
      if (function->u1.Function == (ULONG_PTR)read_file
          && VirtualProtect(function, sizeof *function, PAGE_READWRITE, &protection)) {
        function->u1.Function = (ULONG_PTR)read_unlocked;
        VirtualProtect(function, sizeof *function, protection, &protection);
      }
    }
  }
}

static void set_variables(void) {
  static const wchar_t prefix[] = L"\\??\\", below[] = L"\\AppData\\Roaming";
  wchar_t value[4096];
  const DWORD skipped = sizeof prefix / sizeof *prefix - 1;
  DWORD length = GetEnvironmentVariableW(L"WINEHOMEDIR", value, 4000);
  if (length > skipped && length < 4000) {
    SetEnvironmentVariableW(L"USERPROFILE", value + skipped);
    memcpy(value + length, below, sizeof below);
    SetEnvironmentVariableW(L"APPDATA", value + skipped);
  }
  length = GetEnvironmentVariableW(L"TEST_LC_ALL", value, 4000);
  SetEnvironmentVariableW(L"LC_ALL", length ? value : NULL);
}

BOOL WINAPI DllMain(HINSTANCE library, DWORD reason, LPVOID reserved) {
  (void)library;
  (void)reserved;
  if (reason == DLL_PROCESS_ATTACH) {
    keep_readers_out();
    set_variables();
  }
  return TRUE;
}
